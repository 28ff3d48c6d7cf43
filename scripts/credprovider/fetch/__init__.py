"""Get a pinned archive: from the cache, a folder, a mirror, the release page or a package index."""
