"""The run history on the page."""
