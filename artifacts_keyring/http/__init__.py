"""What is asked of a feed over HTTP, and which certificate authorities are trusted for it."""
