"""How the synthetic pedestrians, the places where they walk and the cameras' sensors are drawn."""
