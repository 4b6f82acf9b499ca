"""The equations of neurons of exact times, in plain torch."""
