#!/usr/bin/env python3
"""The page: streams, what stands beside their entries, search."""
# test: timeout=600 alone

from chromium import main

main("streams", "beside", "search")
