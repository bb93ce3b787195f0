#!/usr/bin/env python3
"""The guard in other people's pages."""
# test: timeout=300 alone

from chromium import main

main("guard")
