"""Torch modules of the user, with neurons of snnTorch or asnn, as sources of exports."""
