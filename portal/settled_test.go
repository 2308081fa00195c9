package portal_test

import (
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
)

var someTime = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

func TestWhenADatasetIsSettled(t *testing.T) {
	t.Parallel()
	seen := func(state v1alpha1.DatasetState) portal.DatasetSeen { return portal.DatasetSeen{State: string(state)} }
	for name, test := range map[string]struct {
		dataset portal.Dataset
		want    bool
	}{
		"not made yet":                        {portal.Dataset{Wish: portal.WishOpen}, false},
		"made and open":                       {portal.Dataset{Wish: portal.WishOpen, UID: "u"}, true},
		"to be sealed, not made":              {portal.Dataset{Wish: portal.WishSealed, Seen: seen(v1alpha1.DatasetReady)}, false},
		"to be sealed, never seen":            {portal.Dataset{Wish: portal.WishSealed, UID: "u"}, false},
		"to be sealed, seen open":             {portal.Dataset{Wish: portal.WishSealed, UID: "u", Seen: seen(v1alpha1.DatasetOpen)}, false},
		"sealing":                             {portal.Dataset{Wish: portal.WishSealed, UID: "u", Seen: seen(v1alpha1.DatasetSealing)}, true},
		"sealed":                              {portal.Dataset{Wish: portal.WishSealed, UID: "u", Seen: seen(v1alpha1.DatasetReady)}, true},
		"sealed and not sound":                {portal.Dataset{Wish: portal.WishSealed, UID: "u", Seen: seen(v1alpha1.DatasetInvalid)}, true},
		"to be erased":                        {portal.Dataset{Wish: portal.WishErased, UID: "u", Seen: seen(v1alpha1.DatasetReady)}, false},
		"being erased":                        {portal.Dataset{Wish: portal.WishErased, UID: "u", Seen: seen(v1alpha1.DatasetErasing)}, false},
		"erased":                              {portal.Dataset{Wish: portal.WishErased, UID: "u", ErasedAt: someTime}, true},
		"erased before it was made":           {portal.Dataset{Wish: portal.WishErased, ErasedAt: someTime}, true},
		"erased by its window while it waits": {portal.Dataset{Wish: portal.WishSealed, UID: "u", ErasedAt: someTime}, true},
		"a wish that is none":                 {portal.Dataset{Wish: "dreamt", UID: "u"}, false},
	} {
		if got := test.dataset.Settled(); got != test.want {
			t.Errorf("%s: settled is %v", name, got)
		}
	}
}

func TestWhenARunIsSettled(t *testing.T) {
	t.Parallel()
	suspended, finished := portal.RunSeen{Suspended: true}, portal.RunSeen{EndedAt: someTime}
	for name, test := range map[string]struct {
		run  portal.Run
		want bool
	}{
		"not made yet":                 {portal.Run{Wish: portal.WishRun}, false},
		"made":                         {portal.Run{Wish: portal.WishRun, UID: "u"}, true},
		"refused":                      {portal.Run{Wish: portal.WishRun, Refused: "no"}, true},
		"to go on, seen suspended":     {portal.Run{Wish: portal.WishRun, UID: "u", Seen: suspended}, false},
		"finished by itself":           {portal.Run{Wish: portal.WishRun, UID: "u", Seen: finished}, true},
		"gone by itself":               {portal.Run{Wish: portal.WishSuspended, UID: "u", GoneAt: someTime}, true},
		"to be suspended":              {portal.Run{Wish: portal.WishSuspended, UID: "u"}, false},
		"suspended":                    {portal.Run{Wish: portal.WishSuspended, UID: "u", Seen: suspended}, true},
		"finished before it could be":  {portal.Run{Wish: portal.WishSuspended, UID: "u", Seen: finished}, true},
		"to be cancelled":              {portal.Run{Wish: portal.WishCancelled, UID: "u", Seen: suspended}, false},
		"cancelled":                    {portal.Run{Wish: portal.WishCancelled, UID: "u", Seen: finished}, true},
		"cancelled before it was made": {portal.Run{Wish: portal.WishCancelled}, false},
		"to be deleted":                {portal.Run{Wish: portal.WishDeleted, UID: "u", Seen: finished}, false},
		"deleted":                      {portal.Run{Wish: portal.WishDeleted, UID: "u", GoneAt: someTime}, true},
		"deleted before it was made":   {portal.Run{Wish: portal.WishDeleted, GoneAt: someTime}, true},
		"a wish that is none":          {portal.Run{Wish: "dreamt", UID: "u"}, false},
	} {
		if got := test.run.Settled(); got != test.want {
			t.Errorf("%s: settled is %v", name, got)
		}
	}
}
