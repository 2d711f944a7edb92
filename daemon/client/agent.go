package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/fobd/fobd/daemon/api"
)

// Agent has ui show, and answer, the prompts that the daemon has for agents of this user, until ctx
// ends or the daemon stops, and returns the reason; the latter is an [io.ErrUnexpectedEOF] or a
// [*ConnectError]. What ui cannot answer counts as the person giving up. ready, if not nil, is called when
// the daemon knows the agent.
func (c *Client) Agent(ctx context.Context, about api.Agent, ui Prompter, ready func()) error {
	query := url.Values{"name": {about.Name}}
	if len(about.Kinds) > 0 {
		kinds := make([]string, len(about.Kinds))
		for i, kind := range about.Kinds {
			kinds[i] = string(kind)
		}
		query.Set("kinds", strings.Join(kinds, ","))
	}
	resp, err := c.send(ctx, http.MethodGet, "/v1/prompts?"+query.Encode(), exchange{accept: typeNDJSON})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		_, err := wholeAnswer(resp)
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := newPrompts(ctx, c, ui)
	defer p.close()
	defer cancel()
	for l, err := range lines[api.Line](resp.Body) {
		switch {
		case err != nil && ctx.Err() != nil:
			return fmt.Errorf("client: prompts: %w", context.Cause(ctx))
		case err != nil:
			return err
		case l.Prompt != nil:
			p.open(*l.Prompt)
		case l.Withdrawn != "":
			p.withdraw(l.Withdrawn)
		case l.Error != nil:
			return l.Error
		case l.Ready && ready != nil:
			ready()
		}
	}
	return fmt.Errorf("client: fobd ended the stream of prompts: %w", io.ErrUnexpectedEOF)
}
