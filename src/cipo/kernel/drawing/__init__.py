"""Pictures drawn on the server as SVG, for the console's pages and for those that a unit draws of its own resources.

Colours come from the page's classes, so a picture follows light and dark; sizes are attributes, since the content policy allows no style.
"""
