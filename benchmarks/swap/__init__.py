"""What a change of phase costs the caller of a speech-to-speech model: ours beside two ways in use, and beside none."""
