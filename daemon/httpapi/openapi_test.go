package httpapi_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/httpapi"
)

func TestOpenAPIDescribesEveryOperation(t *testing.T) {
	s := serve(t, engine{}, httpapi.Config{})
	resp := s.start(t, request{method: http.MethodGet, path: "/v1/openapi.json"})
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if err := doc.Validate(loader.Context); err != nil {
		t.Fatalf("not valid: %v", err)
	}
	for _, op := range daemon.Operations() {
		item := doc.Paths.Find("/v1/" + op.Name)
		if item == nil || item.Post == nil {
			t.Errorf("POST /v1/%s is not described", op.Name)
			continue
		}
		if item.Post.OperationID != op.Name || item.Post.Summary != op.Summary {
			t.Errorf("%s: got id %q, summary %q", op.Name, item.Post.OperationID, item.Post.Summary)
		}
	}
	for path, method := range map[string]string{
		"/v1/events": http.MethodGet, "/v1/openapi.json": http.MethodGet, "/v1/prompts/{id}": http.MethodDelete,
		"/v1/lease-reports": http.MethodPost, "/metrics": http.MethodGet, "/v1/jwks": http.MethodGet,
	} {
		if item := doc.Paths.Find(path); item == nil || item.GetOperation(method) == nil {
			t.Errorf("%s %s is not described", method, path)
		}
	}

	touch := doc.Components.Schemas["TouchRequest"]
	if touch == nil {
		t.Fatal("no schema TouchRequest")
	}
	if err := touch.Value.VisitJSON(map[string]any{"key": "k1", "purpose": "x", "timeout": 5.0}); err != nil {
		t.Errorf("a good request does not match: %v", err)
	}
	if touch.Value.VisitJSON(map[string]any{"kye": "k1"}) == nil {
		t.Error("a request with an unknown member matches")
	}
	result := doc.Components.Schemas["TouchResult"]
	if result == nil {
		t.Fatal("no schema TouchResult")
	}
	if err := result.Value.VisitJSON(map[string]any{"key": map[string]any{
		"id": "k1", "name": "a", "vendorId": 1.0, "productId": 2.0, "emulated": true, "later": "member",
	}}); err != nil {
		t.Errorf("a good result does not match: %v", err)
	}
	problem := doc.Components.Schemas["Error"]
	if problem == nil {
		t.Fatal("no schema Error")
	}
	if err := problem.Value.VisitJSON(map[string]any{"code": string(api.CodeBusy), "message": "x"}); err != nil {
		t.Errorf("an error does not match: %v", err)
	}
}
