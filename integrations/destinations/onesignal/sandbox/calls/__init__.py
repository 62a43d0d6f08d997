"""The endpoints, one module per family; each call reads its request, decides, records changes and answers."""
