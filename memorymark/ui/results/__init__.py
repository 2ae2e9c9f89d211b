"""A run on the page: started, followed, shown."""
