package daemon

// Outsider is how a program outside is named.
var Outsider = outsider
