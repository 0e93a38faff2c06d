"""Lists of streams, and of the users who make them. Reads what other packages write."""
