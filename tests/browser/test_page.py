#!/usr/bin/env python3
"""The page: how it is served, its words, status, documents, runs and what is set aside."""
# test: timeout=600 alone

from chromium import main

main("served", "words", "status", "documents", "care")
