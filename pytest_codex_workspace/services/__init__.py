"""The services of a workspace: started, waited for, watched; and what setup left running."""
