"""What each of nine mistakes of the source documents' policy head costs, one at a time."""
