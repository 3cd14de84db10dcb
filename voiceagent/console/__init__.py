"""The control plane: what is asked of the server over HTTP."""
