package api

// BlobListRequest asks which large blobs a key holds and whose they are (CTAP 2.3, section
// 6.10). The person gives the PIN or a finger, since only a credential's key tells whose a blob is.
type BlobListRequest struct {
	Key            string `json:"key,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// BlobListResult is the answer to [OpBlobList].
type BlobListResult struct {
	Key      Key    `json:"key"`
	Blobs    []Blob `json:"blobs"`
	Used     uint   `json:"used"`     // bytes of the array
	Capacity uint   `json:"capacity"` // bytes of the largest array
	// Damaged is true when the array's checksum is wrong: it counts as empty.
	Damaged bool `json:"damaged,omitempty"`
}

// Blob is an entry of a key's large-blob array.
type Blob struct {
	Index  int  `json:"index"`
	Size   uint `json:"size"`   // of the data, before compression
	Stored uint `json:"stored"` // bytes in the array
	// The following say whose it is; they are empty for one that no credential of the key opens.
	RPID       string `json:"rpId,omitempty"`
	Credential Bytes  `json:"credential,omitempty"`
	UserName   string `json:"userName,omitempty"`
}

// BlobRequest names the credential whose blob is meant, as [CredentialRequest] does.
type BlobRequest struct {
	Key            string `json:"key,omitempty"`
	RPID           string `json:"rpId,omitempty"`
	Credential     string `json:"credential"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// BlobSetRequest replaces the blob of a credential.
type BlobSetRequest struct {
	Key            string `json:"key,omitempty"`
	RPID           string `json:"rpId,omitempty"`
	Credential     string `json:"credential"`
	Data           Bytes  `json:"data"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// BlobResult is a blob after an operation on it; Data is set by [OpBlobGet] only.
type BlobResult struct {
	Key  Key   `json:"key"`
	Blob Blob  `json:"blob"`
	Data Bytes `json:"data,omitempty"`
}

// BlobCollectRequest removes the blobs that no credential of the key opens (CTAP 2.3, section
// 6.10.7). The person is asked first when there are any.
type BlobCollectRequest struct {
	Key            string `json:"key,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// BlobCollectResult says what was removed and is left.
type BlobCollectResult struct {
	Key      Key  `json:"key"`
	Removed  int  `json:"removed"`
	Used     uint `json:"used"`
	Capacity uint `json:"capacity"`
}
