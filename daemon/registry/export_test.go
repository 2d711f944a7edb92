package registry

// Thumbprint is for the vector of RFC 8037.
var Thumbprint = thumbprint
