"""Charts, from Analysis and Trial to Altair. Imported only where they are drawn."""
