// A client for app-1mrc on Go's net/http, which behaves as the challenge's official one: many
// workers over one transport with 1,000 idle connections, replies closed without being read.
// It counts the connections that it opens and compares /stats with what it sent.
//
//	go run scripts/clients/go/main.go -url http://localhost:8080 -n 1000000 -c 1000
//	go run scripts/clients/go/main.go -n 2000 -sequential
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	userCount  = 75000
	valueCount = 1000
)

type stats struct {
	TotalRequests int64   `json:"totalRequests"`
	UniqueUsers   int64   `json:"uniqueUsers"`
	Sum           float64 `json:"sum"`
	Avg           float64 `json:"avg"`
}

func main() {
	url := flag.String("url", "http://localhost:8080", "where the server listens")
	n := flag.Int64("n", 1000000, "how many events to send")
	c := flag.Int("c", 1000, "how many workers send them")
	sequential := flag.Bool("sequential", false, "one worker, and fail if it needs a second connection")
	readBody := flag.Bool("read-body", false, "read replies to their end before closing them")
	flag.Parse()
	if *sequential {
		*c = 1
	}

	var dialed int64
	client := newClient(&dialed)
	if err := expect200(client.Post(*url+"/reset", "", nil)); err != nil {
		fail("POST /reset: %v", err)
	}
	started := time.Now()
	failed := sendAll(client, *url+"/event", *n, *c, *readBody)
	elapsed := time.Since(started)
	fmt.Printf("%d events in %.2f s, %.0f/s, %d failed, %d connections\n", *n,
		elapsed.Seconds(), float64(*n)/elapsed.Seconds(), failed, atomic.LoadInt64(&dialed))

	seen, err := getStats(client, *url+"/stats")
	if err != nil {
		fail("GET /stats: %v", err)
	}
	switch connections := atomic.LoadInt64(&dialed); {
	case failed > 0:
		fail("%d events failed", failed)
	case seen != expected(*n):
		fail("stats are %+v, not %+v", seen, expected(*n))
	case *sequential && connections != 1:
		fail("%d connections for requests one after another", connections)
	}
	fmt.Println("ok: exact")
}

func fail(format string, arguments ...any) {
	fmt.Printf("failed: "+format+"\n", arguments...)
	os.Exit(1)
}

func newClient(dialed *int64) *http.Client {
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			MaxIdleConns:        1000,
			MaxIdleConnsPerHost: 1000,
			IdleConnTimeout:     90 * time.Second,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				atomic.AddInt64(dialed, 1)
				return dialer.DialContext(ctx, network, address)
			},
		},
	}
}

// sendAll sends n events from c workers and returns how many failed.
func sendAll(client *http.Client, url string, n int64, c int, readBody bool) int64 {
	var next, failed int64
	var workers sync.WaitGroup
	for worker := 0; worker < c; worker++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for i := atomic.AddInt64(&next, 1) - 1; i < n; i = atomic.AddInt64(&next, 1) - 1 {
				if err := send(client, url, i, readBody); err != nil {
					if atomic.AddInt64(&failed, 1) == 1 {
						fmt.Printf("event %d: %v\n", i, err)
					}
				}
			}
		}()
	}
	workers.Wait()
	return failed
}

func send(client *http.Client, url string, i int64, readBody bool) error {
	body := fmt.Sprintf(`{"userId":"user_%d","value":%g}`, i%userCount, float64(i%valueCount)+0.5)
	reply, err := client.Post(url, "application/json", strings.NewReader(body))
	if err == nil && readBody {
		_, err = io.Copy(io.Discard, reply.Body)
	}
	return expect200(reply, err)
}

func expect200(reply *http.Response, err error) error {
	if err != nil {
		return err
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", reply.Status)
	}
	return nil
}

func getStats(client *http.Client, url string) (stats, error) {
	var seen stats
	reply, err := client.Get(url)
	if err != nil {
		return seen, err
	}
	defer reply.Body.Close()
	decoder := json.NewDecoder(reply.Body)
	decoder.DisallowUnknownFields()
	return seen, decoder.Decode(&seen)
}

// expected is exact: all of its figures are whole numbers of halves.
func expected(n int64) stats {
	twice := n
	for i := int64(0); i < valueCount; i++ {
		twice += 2 * i * ((n + valueCount - 1 - i) / valueCount)
	}
	users := n
	if users > userCount {
		users = userCount
	}
	sum := float64(twice) / 2
	return stats{n, users, sum, sum / float64(n)}
}
