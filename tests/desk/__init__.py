"""The desk in the browser: its routes, its pages, and Chromium in front of them."""
