// Package apitest gives tests a real API server with Lethe's CRDs: one etcd and
// one kube-apiserver for each test binary, started when the first test asks.
//
// There is no other controller and no kubelet: a test that needs a Job to end or
// a Pod to start says so by writing the status that they would write.
//
//	func TestMain(m *testing.M) { apitest.Main(m) }
//
//	func TestStory(t *testing.T) {
//		cluster := apitest.Start(t)
//		namespace := cluster.Namespace(t)
//		...
//
// The binaries are those that `make` caches under .cache/bin, or the folder that
// KUBEBUILDER_ASSETS names. A test skips loudly when they are missing; with
// LETHE_TEST_REQUIRE_REAL=1 it fails.
package apitest
