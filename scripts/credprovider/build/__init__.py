"""Build the wheels and the sdist, twice if asked, and as small as deflate gets."""
