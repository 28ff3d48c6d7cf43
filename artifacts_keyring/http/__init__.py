"""Our own requests: what a feed answers, and which certificate authorities are trusted."""
