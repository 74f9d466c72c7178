"""Crystal structures → graphs, and numbers from geometry alone."""
