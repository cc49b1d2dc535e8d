"""Pure formulas: what a message can reveal at most, and what it did reveal."""
