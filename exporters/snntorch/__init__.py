"""The snnTorch importer: torch modules with snnTorch neurons as sources of exports."""
