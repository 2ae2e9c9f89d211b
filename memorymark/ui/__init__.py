"""What the pages share and draw with Streamlit. Nothing here computes a figure."""
