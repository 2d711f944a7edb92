package ctap2

import "github.com/fxamacker/cbor/v2"

// RawMessage is a piece of CBOR that is kept as it came.
type RawMessage = cbor.RawMessage
