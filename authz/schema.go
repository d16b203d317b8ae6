package authz

// DefaultSchema is the vocabulary of the customization service.
const DefaultSchema = `namespace Cloister {
  entity Tenant;
  entity Group;
  entity User in [Group] { tenant: Tenant, admin: Bool };
  entity State enum ["CREATING", "CREATED", "CREATION_FAILED", "ACTIVATED", "UPDATING", "UPDATE_FAILED", "DELETING"];
  entity Catalog { tenant: Tenant };
  entity Customization { tenant: Tenant, state: State, users: Set<User> };
  action CreateCustomization, ListCustomizations, ListAvailableCustomizations
    appliesTo { principal: [User], resource: [Catalog] };
  action GetCustomization, UpdateCustomization, DeleteCustomization,
    AssociateCustomizationPermission, DisassociateCustomizationPermission,
    ListCustomizationPermissions, GenerateCompletions, GetRetrievals
    appliesTo { principal: [User], resource: [Customization] };
}
`

// DefaultPolicies are the service's own policies: admins administer, users who
// were given a customization use it while it is active, and everybody lists
// what is available to them.
const DefaultPolicies = `
@id("admins-administer")
permit (
  principal is Cloister::User,
  action in [Cloister::Action::"CreateCustomization", Cloister::Action::"ListCustomizations",
    Cloister::Action::"GetCustomization", Cloister::Action::"UpdateCustomization", Cloister::Action::"DeleteCustomization",
    Cloister::Action::"AssociateCustomizationPermission", Cloister::Action::"DisassociateCustomizationPermission",
    Cloister::Action::"ListCustomizationPermissions"],
  resource
) when { principal.admin };

@id("users-use-what-they-were-given")
permit (
  principal is Cloister::User,
  action in [Cloister::Action::"GenerateCompletions", Cloister::Action::"GetRetrievals"],
  resource is Cloister::Customization
) when { resource.users.contains(principal) && resource.state == Cloister::State::"ACTIVATED" };

@id("everybody-lists")
permit (principal is Cloister::User, action == Cloister::Action::"ListAvailableCustomizations", resource);
`

// TenantGuard is the forbid that is evaluated with every request. The two has
// tests come first: a guard that errors on a missing attribute is skipped by
// Cedar, and would let everything pass.
const TenantGuard = `forbid (principal, action, resource)
unless { principal has tenant && resource has tenant && principal.tenant == resource.tenant };`

const namespace = "Cloister"
