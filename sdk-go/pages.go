package meetbot

import (
	"context"
	"iter"
)

// AllBots goes over all jobs that params describe, newest first, page by page as they are asked for. It ends after the first error.
func (c *Client) AllBots(ctx context.Context, params ListBotsParams, options ...CallOption) iter.Seq2[*Job, error] {
	return all(params.Cursor, func(cursor string) ([]*Job, string, error) {
		params := params
		params.Cursor = cursor
		page, err := c.ListBots(ctx, params, options...)
		if err != nil {
			return nil, "", err
		}
		return page.Data, page.NextCursor, nil
	})
}

// AllDeliveries goes over all webhook deliveries that params describe, newest first, page by page as they are asked for. It ends after the first error.
func (c *Client) AllDeliveries(ctx context.Context, params DeliveriesParams, options ...CallOption) iter.Seq2[*Delivery, error] {
	return all(params.Cursor, func(cursor string) ([]*Delivery, string, error) {
		params := params
		params.Cursor = cursor
		page, err := c.Deliveries(ctx, params, options...)
		if err != nil {
			return nil, "", err
		}
		return page.Data, page.NextCursor, nil
	})
}

// all goes over the elements of all pages from this cursor on. An empty page may have a next one.
func all[T any](cursor string, ask func(cursor string) ([]*T, string, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for cursor := cursor; ; {
			data, next, err := ask(cursor)
			if err == nil {
				next, err = following(cursor, next)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, one := range data {
				if !yield(one, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			cursor = next
		}
	}
}

// following is the cursor of the page after the one that was asked for with this cursor; empty after the last.
func following(cursor, next string) (string, error) {
	if next != "" && next == cursor {
		return "", &Error{Kind: ErrDecode, Message: "the list goes in circles: a page names itself as the next", Attempts: 1}
	}
	return next, nil
}
