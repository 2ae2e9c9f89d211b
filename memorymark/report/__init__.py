"""Report: sentences, exports and charts."""
