// A bridge for each network and a pair of links for each endpoint, as `sdk/wit/driver.wit`
// wants to be answered. The typedefs are short names for those of the bindings.

#include <stdlib.h>
#include <string.h>

#include "network_driver.h"

typedef network_driver_string_t string;
typedef network_driver_option_string_t maybe_string;
typedef postern_driver_types_desired_t desired;
typedef postern_driver_types_link_kind_t link_kind;
typedef postern_driver_types_subnet_view_t subnet_view;
typedef postern_driver_types_list_desired_t resources;

#define BRIDGE text("bridge")
#define PORT text("port")

static string text(const char *literal) {
  string text;
  network_driver_string_set(&text, literal);
  return text;
}

static string joined(string a, string b) {
  string both = {malloc(a.len + b.len), a.len + b.len};
  memcpy(both.ptr, a.ptr, a.len);
  memcpy(both.ptr + a.len, b.ptr, b.len);
  return both;
}

// The prefix length, with its slash.
static string length_of(string prefix) {
  size_t slash = 0;
  while (slash < prefix.len && prefix.ptr[slash] != '/') {
    slash++;
  }
  return (string){prefix.ptr + slash, prefix.len - slash};
}

static resources room_for(size_t count) {
  return (resources){malloc(count * sizeof(desired)), 0};
}

static void push(resources *all, desired one) {
  all->ptr[all->len++] = one;
}

static desired a_link(string handle, link_kind kind, uint32_t mtu, string mac) {
  desired one = {.tag = POSTERN_DRIVER_TYPES_DESIRED_LINK};
  one.val.link.handle = handle;
  one.val.link.kind = kind;
  one.val.link.mtu = (network_driver_option_u32_t){true, mtu};
  one.val.link.mac = (maybe_string){true, mac};
  return one;
}

static desired an_address(string link, string address, postern_driver_types_side_t side) {
  desired one = {.tag = POSTERN_DRIVER_TYPES_DESIRED_ADDRESS};
  one.val.address.link = link;
  one.val.address.address = address;
  one.val.address.side = side;
  return one;
}

void exports_postern_driver_driver_describe(postern_driver_types_manifest_t *manifest) {
  static postern_driver_types_capability_t asks[] = {
      POSTERN_DRIVER_TYPES_CAPABILITY_BRIDGE,
      POSTERN_DRIVER_TYPES_CAPABILITY_VETH,
      POSTERN_DRIVER_TYPES_CAPABILITY_ADDRESS,
      POSTERN_DRIVER_TYPES_CAPABILITY_FILTER,
  };
  *manifest = (postern_driver_types_manifest_t){
      .name = text("lan-c"),
      .version = text("0.1.0"),
      .summary = text("Neighbours on a bridge, in C"),
      .capabilities = {asks, sizeof(asks) / sizeof(asks[0])},
      .addressing = true,
      .attach = POSTERN_DRIVER_TYPES_ATTACH_OWN,
  };
}

bool exports_postern_driver_driver_network(postern_driver_types_context_t *context,
                                           postern_driver_types_network_view_t *network,
                                           postern_driver_types_network_decision_t *decision,
                                           postern_driver_types_fault_t *fault) {
  (void)fault;
  string line = joined(context->request_id, text(" asks for the network "));
  line = joined(line, network->name);
  postern_driver_log_write(POSTERN_DRIVER_LOG_LEVEL_DEBUG, &line);

  resources all = room_for(2 + network->subnets.len);
  link_kind kind = {.tag = POSTERN_DRIVER_TYPES_LINK_KIND_BRIDGE};
  push(&all, a_link(BRIDGE, kind, network->mtu, network->mac));
  for (size_t i = 0; i < network->subnets.len; i++) {
    subnet_view *subnet = &network->subnets.ptr[i];
    if (subnet->gateway.is_some) {
      string gateway = joined(subnet->gateway.val, length_of(subnet->subnet));
      push(&all, an_address(BRIDGE, gateway, POSTERN_DRIVER_TYPES_SIDE_HOST));
    }
  }
  desired filter = {.tag = POSTERN_DRIVER_TYPES_DESIRED_FILTER};
  filter.val.filter.link = BRIDGE;
  filter.val.filter.neighbours = network->icc;
  push(&all, filter);
  *decision = (postern_driver_types_network_decision_t){.resources = all};
  return true;
}

bool exports_postern_driver_driver_endpoint(postern_driver_types_context_t *context,
                                            postern_driver_types_network_view_t *network,
                                            postern_driver_types_endpoint_view_t *endpoint,
                                            postern_driver_types_endpoint_decision_t *decision,
                                            postern_driver_types_fault_t *fault) {
  (void)context;
  if (endpoint->bindings.len > 0) {
    fault->tag = POSTERN_DRIVER_TYPES_FAULT_INVALID;
    fault->val.invalid.field = text("spec.published_ports");
    fault->val.invalid.description = text("a neighbour publishes nothing");
    return false;
  }
  resources all = room_for(1 + endpoint->addresses.len);
  link_kind kind = {.tag = POSTERN_DRIVER_TYPES_LINK_KIND_VETH};
  kind.val.veth.master = BRIDGE;
  kind.val.veth.interface_name = endpoint->interface_name;
  push(&all, a_link(PORT, kind, network->mtu, endpoint->mac));
  for (size_t i = 0; i < endpoint->addresses.len; i++) {
    string address = endpoint->addresses.ptr[i];
    push(&all, an_address(PORT, address, POSTERN_DRIVER_TYPES_SIDE_SANDBOX));
  }
  *decision = (postern_driver_types_endpoint_decision_t){.resources = all};
  return true;
}
