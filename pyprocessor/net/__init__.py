"""How are servers asked over HTTP? The only user of httpx. What it offers is called in processes of their own."""
