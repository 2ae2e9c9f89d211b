"""The setup at the top of the pages: what a run or an estimate is asked for."""
