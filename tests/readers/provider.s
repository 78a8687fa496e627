// Lets go build take a function whose body is in another package (go:linkname in provider.go).
