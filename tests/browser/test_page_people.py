#!/usr/bin/env python3
"""The page, for everybody: keys alone, light and dark, narrow windows, tokens and their rights."""
# test: timeout=600 alone

from chromium import main

main("people", "access")
