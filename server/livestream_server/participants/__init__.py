"""Who is present in a stream, and how it was watched: from our own calls and from Agora's notifications."""
