"""What Agora tells of its channels: taken in, kept, and given its effect."""
