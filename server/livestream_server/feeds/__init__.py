"""Lists of streams, and of the people who make them. Reads what other rooms write."""
