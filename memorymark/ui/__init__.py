"""What the app draws with Streamlit: the frame, pieces, and parts of pages by folder."""
