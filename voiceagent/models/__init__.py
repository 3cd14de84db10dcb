"""What answers the caller: language models, and the guided model that needs none."""
