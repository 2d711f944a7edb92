package httpapi

import (
	"mime"
	"strconv"
	"strings"
)

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// negotiate picks among offers by an Accept header (RFC 9110, section 12.5.1): the
// highest quality wins, among equals the earlier offer; the most specific range that
// matches gives the quality. No header accepts everything. It returns "" when none will do.
func negotiate(accept []string, offers ...string) string {
	header := strings.Join(accept, ",")
	if strings.TrimSpace(header) == "" {
		return offers[0]
	}
	best, bestQ := "", 0.0
	for _, offer := range offers {
		if q := quality(header, offer); q > bestQ {
			best, bestQ = offer, q
		}
	}
	return best
}

// quality is how much the header wants offer, from 0 (not at all) to 1.
func quality(header, offer string) float64 {
	q, specific := 0.0, 0
	kind, _, _ := strings.Cut(offer, "/")
	for part := range strings.SplitSeq(header, ",") {
		media, params, _ := strings.Cut(part, ";")
		var level int
		switch strings.ToLower(strings.TrimSpace(media)) {
		case offer:
			level = 3
		case kind + "/*":
			level = 2
		case "*/*":
			level = 1
		default:
			continue
		}
		if level > specific {
			q, specific = weight(params), level
		}
	}
	return q
}

// weight finds the q parameter; one that is not a number between 0 and 1 excludes.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}

// isJSON reports whether a Content-Type can be JSON in UTF-8. Nothing said means JSON,
// and so does what curl --data says when it is told nothing else.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && (media == typeJSON || media == "application/x-www-form-urlencoded") &&
		(charset == "" || strings.EqualFold(charset, "utf-8"))
}
