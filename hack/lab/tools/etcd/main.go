// Command etcd is the stock etcd server. It is built from a module of ours
// because the upstream module carries replace directives, with which
// "go install go.etcd.io/etcd/server/v3@version" refuses to work.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
