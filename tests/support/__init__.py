"""What several test files share: networks, files, a command line, a server of children."""
