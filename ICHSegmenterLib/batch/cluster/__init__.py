"""The engine on several computers: Ray actors, one a graphics card, each with the engine of one computer inside."""
