"""The one layout, style sheet and component set that every page of Nutmeg is built from.

Reading order: ``templating`` (how a page is rendered), ``templates/components.html`` (what it is made of),
``elements`` (the shapes that components take), ``charts`` and ``icons`` (drawings), ``static_files``.
"""
