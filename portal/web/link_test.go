package web

import (
	"testing"

	"github.com/lethe-dev/lethe/portal"
)

func TestEachEmailedLinkOpensAForm(t *testing.T) {
	t.Parallel()
	s, _ := fakeServer(t)
	for _, purpose := range []portal.Purpose{portal.PurposeVerify, portal.PurposeReset, portal.PurposeNewEmail, portal.PurposeUndoEmail, portal.PurposeDevice} {
		for _, method := range []string{"GET", "POST"} {
			route, ok := s.routes[method+" "+purpose.Path()]
			if !ok || route.Access != anyone {
				t.Errorf("%s %s: route %v, access %s", method, purpose.Path(), ok, route.Access)
			}
		}
	}
}
