"""The tests mirror ``framework/``; ``contract/`` holds for every engine, ``acceptance/`` runs the real server."""
