"""The trading desk in the browser: pages made on the server, the same actions as JSON, who may do what."""
