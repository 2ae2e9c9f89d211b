"""Charts, from records to Vega-Lite. Imported only where they are drawn."""
